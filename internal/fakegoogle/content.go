package fakegoogle

// person is somebody who writes.
type person struct{ name, email string }

func (p person) String() string { return p.name + " <" + p.email + ">" }

// kind is a sort of message. Texts may contain %d, replaced by a number.
type kind struct {
	share        int // how many of totalShares messages are of this kind
	conversation bool
	hidden       bool // spam and trash
	html         bool // a multipart/alternative
	labels       []string
	userLabel    string // given to some
	attachment   string // file name, attached to some
	senders      []person
	subjects     []string
	sentences    []string
}

const totalShares = 100

// System and user labels.
const (
	labelInbox     = "INBOX"
	labelUnread    = "UNREAD"
	labelImportant = "IMPORTANT"
	labelStarred   = "STARRED"
	labelSent      = "SENT"
	labelSpam      = "SPAM"
	labelTrash     = "TRASH"
	labelReceipts  = "Label_1"
	labelTravel    = "Label_2"
	labelWork      = "Label_3"
)

var userLabels = map[string]string{labelReceipts: "Receipts", labelTravel: "Travel", labelWork: "Work"}

var systemLabels = []string{
	labelInbox, labelSent, "DRAFT", labelSpam, labelTrash, "CHAT", labelUnread, labelStarred, labelImportant,
	"CATEGORY_PERSONAL", "CATEGORY_SOCIAL", "CATEGORY_PROMOTIONS", "CATEGORY_UPDATES", "CATEGORY_FORUMS",
}

// kinds are made-up mail from reserved domains (RFC 2606). Their shares add up
// to totalShares.
var kinds = []kind{
	{
		share: 36, conversation: true, labels: []string{"CATEGORY_PERSONAL"}, userLabel: labelWork, attachment: "notes-%d.pdf",
		senders: []person{
			{"Mara Lindqvist", "mara.lindqvist@example.org"}, {"Tomás Herrera", "tomas@herrera.example"},
			{"Priya Raman", "priya.raman@example.net"}, {"Jonas Weber", "jonas.weber@example.org"},
			{"Aoife Byrne", "aoife@byrne.example"}, {"Kenji Watanabe", "kenji.w@example.net"},
			{"Zoë van Dijk", "zoe.vandijk@example.org"}, {"Samuel Adeyemi", "s.adeyemi@example.net"},
		},
		subjects: []string{
			"Lunch on Thursday?", "Draft of the budget", "Photos from the weekend", "Minutes of the meeting",
			"Question about chapter %d", "Moving the review to Friday", "Keys for the flat", "Plan for the offsite",
			"Your talk at the meetup", "The contract, second version", "Café near the station", "Book club: next title",
		},
		sentences: []string{
			"Could you have a look before Friday?", "I put the numbers into the sheet, row %d is the odd one.",
			"Let's keep it short this time.", "The train arrives at ten past nine.", "I'll bring the printed copies.",
			"No hurry, next week is fine too.", "Thanks again for your help with the move.",
			"There are %d open points left, most of them small.", "Shall I book a table for four?",
			"The second paragraph still needs a source.", "Call me when you are at the station.",
			"I agree with most of it, see my remarks below.",
		},
	},
	{
		share: 18, html: true, labels: []string{"CATEGORY_PROMOTIONS"},
		senders: []person{
			{"Harbour Books", "news@harbourbooks.example"}, {"Fern & Field Garden", "hello@fernandfield.example"},
			{"Northline Outdoor", "newsletter@northline.example"}, {"Copper Kettle Coffee", "post@copperkettle.example"},
		},
		subjects: []string{
			"New this month: %d titles", "Your discount ends on Sunday", "Ten plants for shady balconies",
			"Free shipping this week", "The autumn catalogue is here", "We saved a seat for you",
		},
		sentences: []string{
			"Our editors picked %d favourites for you.", "Members get early access from Monday.",
			"Every order helps an independent shop.", "Prices include tax.", "See what is new in the shop.",
			"You receive this because you subscribed.",
		},
	},
	{
		share: 14, html: true, labels: []string{"CATEGORY_UPDATES"}, userLabel: labelReceipts, attachment: "invoice-%d.pdf",
		senders: []person{
			{"Stadtwerke Billing", "billing@stadtwerke.example"}, {"Harbour Books Orders", "orders@harbourbooks.example"},
			{"Metro Tickets", "receipts@metrotickets.example"}, {"Cloudpost Hosting", "invoices@cloudpost.example"},
		},
		subjects: []string{"Your invoice no. %d", "Receipt for your payment", "Order %d has shipped", "Payment received, thank you"},
		sentences: []string{
			"The amount will be charged to your card.", "Your order number is %d.", "The invoice is attached.",
			"Delivery takes two to three working days.", "Please keep this receipt for your records.",
		},
	},
	{
		share: 12, labels: []string{"CATEGORY_UPDATES"}, userLabel: labelTravel,
		senders: []person{
			{"Calendar", "calendar@notify.example"}, {"Lakeside Railways", "bookings@lakesiderail.example"},
			{"City Library", "library@city.example"}, {"Build Bot", "builds@ci.example"},
		},
		subjects: []string{
			"Reminder: dentist tomorrow at nine", "Your booking %d is confirmed", "A book you reserved is ready",
			"Build %d failed on main", "Your journey on Saturday",
		},
		sentences: []string{
			"This is an automatic message.", "Coach %d, window seat.", "You can collect it within ten days.",
			"The log has %d lines.", "Changes are free until the evening before.",
		},
	},
	{
		share: 8, html: true, labels: []string{"CATEGORY_SOCIAL"},
		senders:   []person{{"Circles", "notify@circles.example"}, {"Runners' Club", "club@runners.example"}},
		subjects:  []string{"%d people liked your photo", "Mara commented on your post", "New members in your group"},
		sentences: []string{"See what your friends are up to.", "There are %d new posts.", "You can turn these messages off in your settings."},
	},
	{
		share: 6, labels: []string{"CATEGORY_FORUMS"},
		senders:   []person{{"Go Meetup list", "go-meetup@lists.example"}, {"Allotment committee", "allotment@lists.example"}},
		subjects:  []string{"[go-meetup] Agenda for next time", "[allotment] Water will be off", "[go-meetup] Generics, part %d"},
		sentences: []string{"Answers go to the list.", "Please add your points until Monday.", "Room %d, second floor."},
	},
	{
		share: 4, hidden: true, labels: []string{labelSpam},
		senders:   []person{{"Prize Department", "winner@lottery.example"}, {"Dr. Wealth", "dr@quickmoney.example"}},
		subjects:  []string{"You have won %d coins", "URGENT: your reply is needed", "Lose weight without effort"},
		sentences: []string{"Act now, this offer is secret.", "Send us your details.", "Only %d places are left."},
	},
	{
		share: 2, hidden: true, labels: []string{labelTrash},
		senders:   []person{{"Old Newsletter", "news@old.example"}, {"Survey Team", "survey@panel.example"}},
		subjects:  []string{"We miss you", "Survey no. %d: two minutes of your time"},
		sentences: []string{"It has been a while.", "Your opinion counts.", "There are %d questions."},
	},
}
